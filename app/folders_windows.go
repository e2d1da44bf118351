package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"
	"golang.org/x/sys/windows"
)

// configFolder holds the config file: in %AppData%, the part of the user's
// profile that goes along to other computers of a domain.
func configFolder() string {
	roaming, err := os.UserConfigDir()
	if err != nil {
		roaming = xdg.ConfigHome
	}
	return filepath.Join(roaming, "Earshot")
}

// defaultData is the data folder of an Earshot that was given none: in
// %LocalAppData%, the part of the profile that stays on this computer.
func defaultData() string { return filepath.Join(xdg.DataHome, "Earshot") }

// closeFolder closes an empty folder to all but this user, the system and
// administrators, which is what a profile does, too, and what is made in it
// inherits that. File modes say nothing on Windows. One that holds something is
// the user's own affair.
func closeFolder(path string, _ fs.FileInfo, empty bool) error {
	if !empty {
		return nil
	}
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("close data folder to others: who am I: %w", err)
	}
	list, err := windows.SecurityDescriptorFromString("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;" + user.User.Sid.String() + ")")
	if err != nil {
		return fmt.Errorf("close data folder to others: %w", err)
	}
	rights, _, err := list.DACL()
	if err == nil {
		err = windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
			windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, rights, nil)
	}
	if err != nil {
		return fmt.Errorf("close data folder to others: %w", err)
	}
	return nil
}
