package clients

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// Assign does in memory what SetField does to a file.
func Assign(data []byte, key string, values ...string) ([]byte, error) {
	top, _, _ := strings.Cut(key, ".")
	return splice(data, top, func(root *yaml.Node) error { return assign(root, key, values) })
}
