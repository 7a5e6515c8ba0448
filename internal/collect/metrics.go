package collect

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/fault"
)

// Metrics counts what collecting does. A nil *Metrics counts nothing.
type Metrics struct {
	units    *prometheus.CounterVec
	records  *prometheus.CounterVec
	filtered *prometheus.CounterVec
	failures *prometheus.CounterVec
	batches  prometheus.Counter
	bytes    prometheus.Counter
}

// NewMetrics registers the metrics of collecting.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	labels := []string{"connector", "content_type"}
	m := &Metrics{
		units: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_units_total", Help: "Content units by what became of them: listed, landed, lost; second_look: read again.",
		}, append(labels, "result")),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_records_total", Help: "Records fetched by what became of them: landed, duplicate, filtered, malformed.",
		}, append(labels, "result")),
		filtered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_filtered_records_total", Help: "Records that log filters dropped, by filter.",
		}, append(labels, "filter")),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_collect_errors_total", Help: "Failed listings and fetches by kind of failure.",
		}, append(labels, "kind")),
		batches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_journal_batches_total", Help: "Batches written to the journal.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_journal_written_bytes_total", Help: "Bytes written to the journal, compressed.",
		}),
	}
	reg.MustRegister(m.units, m.records, m.filtered, m.failures, m.batches, m.bytes)
	return m
}

func (m *Metrics) listed(connector, contentType string, n int) {
	if m != nil {
		m.units.WithLabelValues(connector, contentType, "listed").Add(float64(n))
	}
}

func (m *Metrics) lost(connector, contentType string) {
	if m != nil {
		m.units.WithLabelValues(connector, contentType, "lost").Inc()
	}
}

func (m *Metrics) landed(connector, contentType string, c *tally, look bool) {
	if m == nil {
		return
	}
	result := "landed"
	if look {
		result = "second_look"
	}
	m.units.WithLabelValues(connector, contentType, result).Inc()
	for result, n := range map[string]int64{
		"landed": c.Records, "duplicate": c.Duplicates, "filtered": c.Filtered, "malformed": c.Malformed,
	} {
		m.records.WithLabelValues(connector, contentType, result).Add(float64(n))
	}
	for filter, n := range c.byFilter {
		m.filtered.WithLabelValues(connector, contentType, filter).Add(float64(n))
	}
}

func (m *Metrics) failure(connector, contentType string, kind fault.Kind) {
	if m != nil {
		m.failures.WithLabelValues(connector, contentType, string(kind)).Inc()
	}
}

func (m *Metrics) published(bytes, _ int) {
	if m != nil {
		m.batches.Inc()
		m.bytes.Add(float64(bytes))
	}
}
