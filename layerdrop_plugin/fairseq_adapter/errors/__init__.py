"""Users' errors: which command runs, one line in place of a traceback, and what fairseq's own errors mean."""
