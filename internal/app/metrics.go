package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/lake"
)

// lakeMetrics counts what the lake writer commits.
type lakeMetrics struct {
	rows    *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	commits *prometheus.HistogramVec
}

func newLakeMetrics(reg prometheus.Registerer) *lakeMetrics {
	labels := []string{"table"}
	m := &lakeMetrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_lake_rows_total", Help: "Rows committed to the lake."}, labels),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_lake_written_bytes_total", Help: "Bytes of data files committed to the lake, before compaction.",
		}, labels),
		commits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sluice_lake_commit_seconds", Help: "Duration of commits to the lake.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		}, labels),
	}
	reg.MustRegister(m.rows, m.bytes, m.commits)
	return m
}

func (m *lakeMetrics) committed(c lake.CommitInfo) {
	table := string(c.Index)
	m.rows.WithLabelValues(table).Add(float64(c.Rows))
	m.bytes.WithLabelValues(table).Add(float64(c.Bytes))
	m.commits.WithLabelValues(table).Observe(c.Duration.Seconds())
}
