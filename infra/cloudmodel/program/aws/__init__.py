"""The program's resources on AWS, as Pulumi components."""
