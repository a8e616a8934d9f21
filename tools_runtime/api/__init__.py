"""HTTP: one router a resource. Parses, calls, encodes; decides nothing."""
