"""Files: checked reading of files from outside, and writing of whole files only."""
