"""The Pulumi program: settings and a bundle's manifest in, resources out. One file a noun and a cloud."""
