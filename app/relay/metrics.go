package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"earshot/server"
	"earshot/server/profile"
	"earshot/server/relay"
)

// metrics are the figures for Prometheus, and whether the relay is ready, on a
// port of this machine alone.
type metrics struct {
	server   *server.Server
	bus      *relay.Bus
	registry *prometheus.Registry
	profiles bool // are served, too
}

// describe returns a metric's name, and its labels.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("earshot_"+name, help, labels, nil)
}

var (
	listeners = describe("listeners", "Who listens at this relay.", "stream")
	publisher = describe("publisher", "Whether the stream is published at this relay.", "stream")
	sentBytes = describe("sent_bytes_total", "Bytes of sound sent to listeners.", "stream")
	sent      = describe("sent_messages_total", "Messages of sound sent to listeners.", "stream")
	dropped   = describe("dropped_messages_total", "Messages of sound that were not sent to a listener.", "stream", "reason")
	gotBytes  = describe("received_bytes_total", "Bytes of sound that came from the publisher.", "stream")
	gaps      = describe("publish_gaps_total", "Times that packets were missing in what came from the publisher.", "stream")
	late      = describe("publish_late_messages_total", "Messages of sound that came too late from the publisher here to be of use, and were dropped.", "stream")
	connected = describe("nats_connected", "Whether this relay is connected to NATS.")
	behind    = describe("nats_behind_seconds", "How long ago this relay last knew all that is withdrawn; -1: never.")
	again     = describe("nats_reconnects_total", "Times that the connection to NATS was made again.")
	unheard   = describe("nats_dropped_total", "What came or went over NATS and was dropped.", "reason")
	refused   = describe("refused_total", "Requests and connections that were refused.", "reason")
)

func newMetrics(s *server.Server, bus *relay.Bus) *metrics {
	m := &metrics{server: s, bus: bus, registry: prometheus.NewRegistry()}
	m.registry.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{listeners, publisher, sentBytes, sent, dropped, gotBytes, gaps, late, refused, connected, behind, again, unheard} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	add := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	for _, s := range m.server.Stats() {
		there := 0.0
		if s.Publisher {
			there = 1
		}
		add(listeners, prometheus.GaugeValue, float64(s.Listeners), s.Name)
		add(publisher, prometheus.GaugeValue, there, s.Name)
		add(sentBytes, prometheus.CounterValue, float64(s.Sent.Bytes), s.Name)
		add(sent, prometheus.CounterValue, float64(s.Sent.Messages), s.Name)
		add(dropped, prometheus.CounterValue, float64(s.Sent.Lost), s.Name, "slow")
		add(gotBytes, prometheus.CounterValue, float64(s.BytesIn), s.Name)
		add(gaps, prometheus.CounterValue, float64(s.Gaps), s.Name)
		add(late, prometheus.CounterValue, float64(s.Late), s.Name)
	}
	for reason, n := range m.server.Refused() {
		add(refused, prometheus.CounterValue, float64(n), reason)
	}
	bus := m.bus.Status()
	up := 0.0
	if bus.Connected {
		up = 1
	}
	add(connected, prometheus.GaugeValue, up)
	add(behind, prometheus.GaugeValue, bus.Behind.Seconds())
	add(again, prometheus.CounterValue, float64(bus.Reconnects))
	for reason, n := range map[string]uint64{
		"stale": bus.Stale, "repeated": bus.Repeated, "malformed": bus.Malformed, "late": bus.Dropped, "slow": bus.Slow,
	} {
		add(unheard, prometheus.CounterValue, float64(n), reason)
	}
}

// serve answers on ln until that is closed; it isn't ready once ctx has ended.
func (m *metrics) serve(ctx context.Context, ln net.Listener) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ctx.Err() != nil {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		if !m.bus.Admits() {
			http.Error(w, "cut off from NATS", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	srv := &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	if m.profiles {
		mux.Handle("GET /debug/pprof/", profile.Handler())
		srv.WriteTimeout = 0 // a profile may take as long as was asked for
	}
	_ = srv.Serve(ln) // until it is closed
	_ = srv.Close()
}
