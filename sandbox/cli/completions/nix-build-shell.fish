# fish looks for the completion of a command in a file of its name; that of both is in one.
source (status dirname)/nbs.fish
