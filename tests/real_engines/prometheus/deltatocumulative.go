// Package deltatocumulative stands for a part of the Collector's contributions that Debian does not package.
package deltatocumulative

import "go.opentelemetry.io/collector/processor"

// NewFactory is asked for only with a feature that is left off here.
func NewFactory() processor.Factory { panic("Debian has no deltatocumulativeprocessor") }
