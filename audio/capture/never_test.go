package capture

import (
	"slices"
	"testing"
)

func TestCovers(t *testing.T) {
	for _, test := range []struct {
		name string
		o    Output
		want bool
	}{
		{"speakers", Output{Name: "speakers", Title: "Speakers"}, true},
		{"headset", Output{Name: "x", Title: " Headset "}, true},
		{" Headset ", Output{Name: "x", Title: "headset"}, true},
		{"Headset", Output{Name: "x", Title: "Headset 2"}, false},
		{"", Output{}, false},
		{" ", Output{Name: "x"}, false},
		// A call changes the profile; PipeWire names other ones than PulseAudio.
		{"bluez_sink.AA_BB_CC_DD_EE_FF.a2dp_sink", Output{Name: "bluez_sink.AA_BB_CC_DD_EE_FF.handsfree_head_unit"}, true},
		{"bluez_sink.AA_BB_CC_DD_EE_FF.a2dp_sink", Output{Name: "bluez_output.AA_BB_CC_DD_EE_FF.1"}, true},
		{"bluez_output.AA:BB:CC:DD:EE:FF", Output{Name: "bluez_output.AA_BB_CC_DD_EE_FF.headset-head-unit"}, true},
		{"bluez_sink.AA_BB_CC_DD_EE_FF.a2dp_sink", Output{Name: "bluez_sink.AA_BB_CC_DD_EE_00.a2dp_sink"}, false},
		{"alsa_output.usb-Jabra_Evolve_1.0_0A-00.analog-stereo", Output{Name: "alsa_output.usb-Jabra_Evolve_1.0_0A-00.iec958-stereo"}, true},
		{"alsa_output.usb-Jabra_Evolve_1.0_0A-00.analog-stereo", Output{Name: "alsa_output.usb-Jabra_Evolve_1.0_0A-00.analog-mono.2"}, true},
		{"alsa_output.usb-Jabra_Evolve_1.0_0A-00.analog-stereo", Output{Name: "alsa_output.usb-Jabra_Evolve_1.0_0B-00.analog-stereo"}, false},
		{"alsa_output.usb-Jabra-00", Output{Name: "alsa_output.usb-Jabra-00.analog-stereo"}, true},
		// The television is no headset.
		{"alsa_output.pci-0000_00_1f.3.hdmi-stereo", Output{Name: "alsa_output.pci-0000_00_1f.3.analog-stereo"}, false},
	} {
		if got := Covers(test.name, test.o); got != test.want {
			t.Errorf("%q and %+v: %v", test.name, test.o, got)
		}
	}
}

func TestUnmatched(t *testing.T) {
	got := Unmatched([]string{"speakers", "other", "Dock"}, []Output{{Name: "speakers"}, {Name: "x", Title: "dock"}})
	if want := []string{"other"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
