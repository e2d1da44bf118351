package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"

	"earshot/server/setting"
	"earshot/server/token"
)

// configFile is the user's config file: the keys of [settings], in TOML.
func configFile() string { return filepath.Join(configFolder(), "config.toml") }

// settingsGroup is the group that the flags of [settings] are in.
const settingsGroup = "settings"

// resolve makes the settings in the environment, and behind them those in the
// config file, the values of flags that the command line doesn't give. It
// checks them all at once, so that what is wrong in a file is found even where
// it isn't used. (kong's own env tags would yield to the file.)
func resolve(parser *kong.Kong, keys *[]token.KeyConfig) (kong.Resolver, error) {
	flags := settingsFlags(parser)
	values, err := readConfig(configFile(), flags, keys)
	if err != nil {
		return nil, err
	}
	for name, f := range flags {
		key := "EARSHOT_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if text := os.Getenv(key); text != "" {
			if err := check(f, text); err != nil {
				return nil, fmt.Errorf("environment: %s: %w", key, err)
			}
			values[name] = text
		}
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
		if text, set := values[f.Name]; set && flags[f.Name] == f {
			return text, nil
		}
		return nil, nil
	}), nil
}

// settingsFlags returns the flags of [settings] by their names.
func settingsFlags(parser *kong.Kong) map[string]*kong.Flag {
	flags := map[string]*kong.Flag{}
	for _, f := range parser.Model.Flags {
		if f.Group != nil && f.Group.Key == settingsGroup {
			flags[f.Name] = f
		}
	}
	return flags
}

// readConfig reads the config file at path, which need not exist, and returns
// the text of each setting in it; keys of other programs go to keys. An error
// is one line that names the file and the key.
func readConfig(path string, flags map[string]*kong.Flag, keys *[]token.KeyConfig) (map[string]string, error) {
	values := map[string]string{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return values, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read config file: %w: make it a file that you may read, or remove it", err)
	}
	file := map[string]any{}
	if err := toml.Unmarshal(text, &file); err != nil {
		var where *toml.DecodeError
		if errors.As(err, &where) {
			row, column := where.Position()
			return nil, fmt.Errorf("%s: line %d, column %d: %s: write settings as KEY = VALUE, text in quotes", path, row, column,
				strings.TrimPrefix(where.Error(), "toml: "))
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if tables, there := file[keyTables]; there {
		if *keys, err = readKeys(tables, path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" &&
			slices.ContainsFunc(*keys, func(k token.KeyConfig) bool { return k.Secret != "" }) {
			return nil, fmt.Errorf("%s: key: a secret is in it, and others may read it: run chmod 600 on it, or use secret-file", path)
		}
		delete(file, keyTables)
	}
	for key, value := range file {
		f, known := flags[key]
		if !known {
			names := make([]string, 0, len(flags))
			for name := range flags {
				names = append(names, name)
			}
			slices.Sort(names)
			return nil, fmt.Errorf("%s: %s: no such setting: use one of %s", path, key, strings.Join(names, ", "))
		}
		switch value := value.(type) {
		case string, bool, int64, float64:
			values[key] = fmt.Sprint(value)
			if key == "tls-cert" || key == "tls-key" {
				values[key] = setting.Beside(path, values[key])
			}
		case []any:
			if f.Target.Kind() != reflect.Slice {
				return nil, fmt.Errorf("%s: %s: must be one value: write it as %s = \"…\"", path, key, key)
			}
			parts := make([]string, len(value))
			for i, part := range value {
				if parts[i] = fmt.Sprint(part); strings.TrimSpace(parts[i]) == "" {
					return nil, fmt.Errorf("%s: %s: one of the values is empty: take it out", path, key)
				}
			}
			values[key] = kong.JoinEscaped(parts, ',')
		default:
			return nil, fmt.Errorf("%s: %s: must be one value: write it as %s = \"…\"", path, key, key)
		}
		if err := check(f, values[key]); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, key, err)
		}
	}
	return values, nil
}

// keyTables is the name of the config file's tables of keys.
const keyTables = "key"

// readKeys returns the keys of the tables of the config file at path.
func readKeys(tables any, path string) ([]token.KeyConfig, error) {
	text, err := toml.Marshal(map[string]any{keyTables: tables})
	if err != nil {
		return nil, err
	}
	var read struct {
		Key []token.KeyConfig `toml:"key"`
	}
	err = toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&read)
	var unknown *toml.StrictMissingError
	switch {
	case errors.As(err, &unknown):
		return nil, fmt.Errorf("%s: no such member of a key: README.md has them", strings.Join(unknown.Errors[0].Key(), "."))
	case err != nil:
		return nil, errors.New("key: write each key as a table that begins with [[key]]: README.md has an example")
	}
	names := map[string]bool{}
	for i := range read.Key {
		k := &read.Key[i]
		if names[k.Name] {
			return nil, fmt.Errorf("key: two have the name %q: give each another", k.Name)
		}
		names[k.Name] = true
		k.SecretFile, k.File = setting.Beside(path, k.SecretFile), setting.Beside(path, k.File)
	}
	return read.Key, nil
}

// check says whether text is right for f.
func check(f *kong.Flag, text string) error {
	if f.IsBool() && text != "true" && text != "false" {
		return fmt.Errorf("%q is neither: use true or false", text)
	}
	scan := kong.Scan().PushTyped(text, kong.FlagValueToken)
	return f.Mapper.Decode(&kong.DecodeContext{Value: f.Value, Scan: scan}, reflect.New(f.Target.Type()).Elem())
}
