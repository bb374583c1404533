"""The processes of the milter: parent, workers, trace writer, and how they speak to each other."""
