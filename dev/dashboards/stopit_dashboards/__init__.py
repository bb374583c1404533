"""What ops look at: one list of panels, and the two pages that are made of it. Not shipped; what it writes is.

`python -m stopit_dashboards` writes the Grafana dashboard and the Prometheus console page anew.
"""
