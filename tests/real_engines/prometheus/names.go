package prometheusremotewrite

import "github.com/prometheus/otlptranslator"

// normalizeLabel asks Debian's otlptranslator 1.0 for what Prometheus 3.5 asks an older one for.
func normalizeLabel(name string) string {
	namer := otlptranslator.LabelNamer{UnderscoreLabelSanitization: true, PreserveMultipleUnderscores: true}
	if made, err := namer.Build(name); err == nil {
		return made
	}
	return name
}
