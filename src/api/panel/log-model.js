// log-model
