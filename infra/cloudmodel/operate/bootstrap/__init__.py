"""What an account needs before the first `up`: where the state is kept, its key, and the roles of a pipeline."""
