"""Labels of one shape, from the annotator to the training set; the channels they are drawn in; how FiftyOne stores them.

shapes       Boxes and Cuboids: arrays with class names
channels     Channel and Rig: which sensors there are, which are labelled, shown, embedded
calibration  Camera: where a point of the cloud lands in an image
clean        the one validation of labels that come from outside
consensus    one set of labels out of several opinions
stored       labels as FiftyOne stores them
"""
