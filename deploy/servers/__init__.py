"""Other people's servers, started, watched and ended: kube-apiserver with etcd, and Prometheus."""
