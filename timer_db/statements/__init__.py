"""Every SQL statement, as functions that return it. Values that users chose are parameters; ids, times and
numbers of ours are written in as literals, which costs the driver a fraction of escaping them."""
