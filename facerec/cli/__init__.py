"""The command line: parse, one library call, print. The only place that prints."""
