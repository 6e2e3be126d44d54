//! A control plane that speaks xDS from Istio YAML, embedded or as a server.
