"""Whether two formula trees are equal: exact normal forms, sampled points, intervals, matrices."""
