package config

import (
	"fmt"
	"reflect"
	"time"
)

// LoadBytes is Load without a file on the disk.
func LoadBytes(file, base string, data []byte, env []string, now time.Time) (*Config, error) {
	return load(file, base, data, env, now)
}

// TableFaults tells where the table and the type Config don't fit together.
func TableFaults() (faults []string) {
	keys := map[string]bool{}
	for _, s := range settings {
		if keys[s.key] {
			faults = append(faults, s.key+" is there twice")
		}
		keys[s.key] = true
		if s.doc == "" || s.reload == "" {
			faults = append(faults, s.key+" says too little")
		}
		if s.def != "" {
			if _, err := s.read(s.defaults(), "/"); err != nil {
				faults = append(faults, fmt.Sprintf("the default of %s: %v", s.key, err))
			}
		}
	}
	for _, s := range settings {
		if s.kind == kindSecret && !keys[s.key+"_file"] {
			faults = append(faults, s.key+" can't be in a file of its own")
		}
	}
	var walk func(t reflect.Type, under string)
	walk = func(t reflect.Type, under string) {
		for i := range t.NumField() {
			f := t.Field(i)
			name := f.Tag.Get("mapstructure")
			switch {
			case name == "-" || name == "":
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type, under+name+".")
			case !keys[under+name]:
				faults = append(faults, under+name+" has no row in the table")
			default:
				delete(keys, under+name)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	delete(keys, "claims") // these go around viper
	delete(keys, "registration.scopes.groups")
	for key := range keys {
		faults = append(faults, key+" has no field")
	}
	return faults
}
