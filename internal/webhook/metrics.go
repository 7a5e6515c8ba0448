package webhook

import "github.com/prometheus/client_golang/prometheus"

// The results of requests, as the label of a metric.
const (
	resultValidated    = "validated"    // a validation request was answered
	resultNotified     = "notified"     // a notification was accepted
	resultUnknown      = "unknown"      // no such path, or another method; without connector
	resultForeign      = "foreign"      // for another tenant or application
	resultUnauthorized = "unauthorized" // wrong AuthID
	resultLimited      = "limited"      // too many requests
	resultMalformed    = "malformed"    // a body that is none of Microsoft's
)

// metrics counts what arrives.
type metrics struct {
	requests *prometheus.CounterVec
	contents *prometheus.CounterVec
	hints    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhook_requests_total",
			Help: "Requests to webhooks by result: validated, notified, unknown (no connector), foreign, unauthorized, limited, malformed.",
		}, []string{"connector", "result"}),
		contents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhook_contents_total", Help: "Content units that notifications named, of the content types of the connector.",
		}, []string{"connector", "content_type"}),
		hints: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhook_hints_total", Help: "Listings that notifications asked for.",
		}, []string{"connector", "content_type"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.contents, m.hints)
	}
	return m
}

// forget removes the counters of a connector.
func (m *metrics) forget(connector string) {
	labels := prometheus.Labels{"connector": connector}
	m.requests.DeletePartialMatch(labels)
	m.contents.DeletePartialMatch(labels)
	m.hints.DeletePartialMatch(labels)
}
