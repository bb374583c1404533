// Graphs by Prometheus's own library. A page without it still has its numbers.
var Stopit = {
  colors: ["#1565c0", "#e65100", "#2e7d32", "#6a1b9a", "#b71c1c", "#00838f", "#9e9d24", "#5d4037", "#c2185b", "#455a64"],

  plain: function (y) {
    if (y === null) { return ""; }
    var size = Math.abs(y);
    if (size >= 1000) { return PromConsole.NumberFormatter.humanize(y); }
    return String(Number(y.toPrecision(3)));
  },

  formats: {
    "count": function (y) { return Stopit.plain(y); },
    "per second": function (y) { return Stopit.plain(y) + "/s"; },
    "share": function (y) { return Stopit.plain(y * 100) + "%"; },
    "seconds": function (y) {
      if (y !== 0 && Math.abs(y) < 0.001) { return Stopit.plain(y * 1000000) + "µs"; }
      if (y !== 0 && Math.abs(y) < 1) { return Stopit.plain(y * 1000) + "ms"; }
      if (Math.abs(y) < 600) { return Stopit.plain(y) + "s"; }
      if (Math.abs(y) < 172800) { return Stopit.plain(y / 3600) + "h"; }
      return Stopit.plain(y / 86400) + "d";
    }
  },

  graph: function (key, exprs, names, unit) {
    if (!window.PromConsole || !window.Rickshaw) { return; }
    var format = Stopit.formats[unit];
    var graph = new PromConsole.Graph({
      node: document.getElementById(key), expr: exprs, name: names, min: 0, height: 150, xTitle: "",
      colorScheme: Stopit.colors, yAxisFormatter: format, yHoverFormatter: format, yAxisTicks: 4
    });
    // All zero is a flat line at the bottom of a scale, and not no scale.
    var render = graph._render;
    graph._render = function (data) {
      var top = 0;
      data.forEach(function (answer) {
        ((answer.data || {}).result || []).forEach(function (series) {
          series.values.forEach(function (value) { top = Math.max(top, parseFloat(value[1]) || 0); });
        });
      });
      graph.params.max = top > 0 ? top * 1.1 : 1;
      render.call(graph, data);
      Stopit.keepInside(document.getElementById(key));
    };
  },

  // The library writes a time to the right of its tick; at the end of the graph that is outside of it.
  keepInside: function (node) {
    var end = node.getBoundingClientRect().right;
    node.querySelectorAll(".x_tick .title").forEach(function (title) {
      if (title.getBoundingClientRect().right > end) { title.classList.add("before-its-tick"); }
    });
  },

  start: function () {
    if (!window.PromConsole || !window.Rickshaw) {
      document.getElementById("no-graphs").hidden = false;
      return;
    }
    new PromConsole.TimeControl();
    window.setInterval(function () {
      var live = document.getElementById("prom_graph_time_end").value === "";
      if (live && !document.hidden && document.getElementById("reload").checked) { window.location.reload(); }
    }, 60000);
  }
};
