// The work page. What is written here is in place before the board's script: a task that can be read.
