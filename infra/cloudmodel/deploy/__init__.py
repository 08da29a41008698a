"""Preview, up, refresh and destroy through one interface, whichever engine carries them out."""
