"""Where the local AWS is. Loads nothing: the provider's plugin needs it, and starts with every run."""

LOCAL_URL = "CLOUDMODEL_LOCAL_AWS_URL"
"""The variable that names the local AWS. Where it is set nothing else is asked; a local stack asks nothing else."""
