package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/adrg/xdg"
	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

// configFile is the user's config file: the keys of [settings], in TOML.
func configFile() string { return filepath.Join(xdg.ConfigHome, "earshot", "config.toml") }

// defaultData is the data folder of an Earshot that was given none.
func defaultData() string { return filepath.Join(xdg.DataHome, "earshot") }

// settingsGroup is the group that the flags of [settings] are in.
const settingsGroup = "settings"

// resolve makes the settings in the environment, and behind them those in the
// config file, the values of flags that the command line doesn't give. It
// checks them all at once, so that what is wrong in a file is found even where
// it isn't used. (kong's own env tags would yield to the file.)
func resolve(parser *kong.Kong) (kong.Resolver, error) {
	flags := map[string]*kong.Flag{}
	for _, f := range parser.Model.Flags {
		if f.Group != nil && f.Group.Key == settingsGroup {
			flags[f.Name] = f
		}
	}
	values, err := readConfig(configFile(), flags)
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

// readConfig reads the config file at path, which need not exist, and returns
// the text of each setting in it. An error is one line that names the file and
// the key.
func readConfig(path string, flags map[string]*kong.Flag) (map[string]string, error) {
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
		switch value.(type) {
		case string, bool, int64, float64:
			values[key] = fmt.Sprint(value)
		default:
			return nil, fmt.Errorf("%s: %s: must be one value: write it as %s = \"…\"", path, key, key)
		}
		if err := check(f, values[key]); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, key, err)
		}
	}
	return values, nil
}

// check says whether text is right for f.
func check(f *kong.Flag, text string) error {
	if f.IsBool() && text != "true" && text != "false" {
		return fmt.Errorf("%q is neither: use true or false", text)
	}
	scan := kong.Scan().PushTyped(text, kong.FlagValueToken)
	return f.Mapper.Decode(&kong.DecodeContext{Value: f.Value, Scan: scan}, reflect.New(f.Target.Type()).Elem())
}
