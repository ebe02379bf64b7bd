// log-view
