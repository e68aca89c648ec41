"""What lies on disk: feature stores, data sets, annotations, labels, class descriptions. Nothing is imported here."""
