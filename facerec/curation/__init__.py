"""Finding faults in folders of labelled photos: copies, wrong labels, people in two folders."""
