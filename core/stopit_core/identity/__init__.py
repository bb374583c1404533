"""Who a person is and how surely: keys and digests, addresses of a login, results of authentication."""
