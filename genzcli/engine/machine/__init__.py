"""What a platform makes of the counts: seconds, joules and room."""
