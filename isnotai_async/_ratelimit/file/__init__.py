"""The limit that the processes of one machine share through a file."""
