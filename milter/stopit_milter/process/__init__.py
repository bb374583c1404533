"""The processes of the milter (parent, workers, trace writer, metrics) and the pipes between them."""
