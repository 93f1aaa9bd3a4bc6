// Renders a template of the chart with the engine that Helm uses: render VALUES.json TEMPLATE. For where there is no helm.
// Of Helm's own functions only those that the chart uses are here; another one is an error.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

func indent(width int, text string) string {
	blanks := strings.Repeat(" ", width)
	return blanks + strings.ReplaceAll(text, "\n", "\n"+blanks)
}

func main() {
	var values any
	text, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(text, &values)
	}
	var source []byte
	if err == nil {
		source, err = os.ReadFile(os.Args[2])
	}
	functions := template.FuncMap{
		"indent":  indent,
		"nindent": func(width int, text string) string { return "\n" + indent(width, text) },
		// JSON is YAML.
		"toYaml": func(value any) (string, error) { out, err := json.Marshal(value); return string(out), err },
	}
	var parsed *template.Template
	if err == nil {
		parsed, err = template.New("chart").Option("missingkey=error").Funcs(functions).Parse(string(source))
	}
	if err == nil {
		err = parsed.Execute(os.Stdout, values)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
