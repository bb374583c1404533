"""The dashboards: one list of panels, and the two pages that are made from it. The pages are shipped, this is not.

`python -m stopit_dashboards` writes the Grafana dashboard and the Prometheus console page.
"""
