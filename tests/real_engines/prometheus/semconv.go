// Package semconv has the names that Prometheus takes from a package that the Collector no longer has.
package semconv

const (
	AttributeServiceName       = "service.name"
	AttributeServiceNamespace  = "service.namespace"
	AttributeServiceInstanceID = "service.instance.id"
)
