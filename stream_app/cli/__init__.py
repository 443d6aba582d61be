"""The program `stream-app`: one command for each task, data on stdout, and one line that says what to do on failure."""
