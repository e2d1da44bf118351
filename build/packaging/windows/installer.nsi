; The installer for Windows: for the user who runs it, without administrator's
; rights. makensis runs in a folder that has earshot.exe, notices.txt and
; earshot.ico, with VERSION, RELEASE and OUTPUT defined.
;
;   earshot-….exe /S [/D=FOLDER]     installs without a question
;   uninstall.exe /S                 removes it, and keeps key, links and settings

Target amd64-unicode ; the usual 32-bit one would not see 64-bit folders
ManifestDPIAware true
SetCompressor /SOLID lzma
SetDateSave off ; a clone's files have times of their own
RequestExecutionLevel user

!include MUI2.nsh
!include WinVer.nsh
!include LogicLib.nsh

!define PROGRAM "$INSTDIR\earshot.exe"
!define UNINSTALL "Software\Microsoft\Windows\CurrentVersion\Uninstall\Earshot"
!define RUN "Software\Microsoft\Windows\CurrentVersion\Run"
!define APPROVED "Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"

Name "Earshot"
OutFile "${OUTPUT}"
InstallDir "$LOCALAPPDATA\Programs\Earshot"
InstallDirRegKey HKCU "${UNINSTALL}" "InstallLocation"
BrandingText "Earshot ${VERSION}"
VIProductVersion "${RELEASE}.0"
VIAddVersionKey ProductName "Earshot"
VIAddVersionKey FileDescription "Earshot installer"
VIAddVersionKey FileVersion "${VERSION}"
VIAddVersionKey ProductVersion "${VERSION}"
VIAddVersionKey LegalCopyright "the authors of Earshot"

!define MUI_ICON "earshot.ico"
!define MUI_UNICON "earshot.ico"
!define MUI_FINISHPAGE_RUN "${PROGRAM}"
!define MUI_FINISHPAGE_RUN_TEXT "Start Earshot: its icon comes up beside the clock"
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE English

; Quits the Earshot that runs; $0 is 0 if there was one.
!macro QUIT
  nsExec::Exec '"${PROGRAM}" quit'
  Pop $0
!macroend

; Ends all that run the installed program; $0 is 0 if there was one. By its path:
; a portable one elsewhere has the same name.
!macro END
  System::Alloc 16384
  Pop $3
  System::Call 'kernel32::K32EnumProcesses(p r3, i 16384, *i .r4)'
  IntOp $4 $4 / 4
  ${For} $5 1 $4
    IntOp $6 $5 - 1
    IntOp $6 $6 * 4
    IntPtrOp $6 $3 + $6
    System::Call '*$6(i .r6)'
    System::Call 'kernel32::OpenProcess(i 0x1001, i 0, i r6) p .r7' ; to terminate and to query
    ${If} $7 P<> 0
      System::Call 'kernel32::QueryFullProcessImageNameW(p r7, i 0, t .r8, *i ${NSIS_MAX_STRLEN})'
      ${If} $8 == "${PROGRAM}"
        System::Call 'kernel32::TerminateProcess(p r7, i 1)'
        StrCpy $0 0
      ${EndIf}
      System::Call 'kernel32::CloseHandle(p r7)'
    ${EndIf}
  ${Next}
  System::Free $3
!macroend

; Does what fails as long as the program runs or is just ending, for ten seconds
; at most. After two it ends those that are left: others, with data folders of
; their own, and one that hangs.
!macro PERSIST COMMAND
  ${For} $1 1 100
    ClearErrors
    ${COMMAND}
    ${IfNot} ${Errors}
      ${ExitFor}
    ${EndIf}
    ${If} $1 = 20
      !insertmacro END
    ${EndIf}
    Sleep 100
  ${Next}
  ${If} ${Errors}
    MessageBox MB_OK|MB_ICONSTOP "Earshot still runs, or another program holds its files. Quit it, then try again." /SD IDOK
    SetErrorLevel 2
    Abort
  ${EndIf}
!macroend

Function .onInit
  ${IfNot} ${AtLeastWin10}
    MessageBox MB_OK|MB_ICONSTOP "Earshot needs Windows 10 or later." /SD IDOK
    SetErrorLevel 1
    Quit
  ${EndIf}
FunctionEnd

Section
  SetOutPath "$INSTDIR"
  !insertmacro QUIT
  SetOverwrite try
  !insertmacro PERSIST 'File earshot.exe'
  SetOverwrite on
  File notices.txt
  File licence.txt
  WriteUninstaller "$INSTDIR\uninstall.exe"
  CreateShortcut "$SMPROGRAMS\Earshot.lnk" "${PROGRAM}"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayName" "Earshot"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayIcon" "${PROGRAM}"
  WriteRegStr HKCU "${UNINSTALL}" "Publisher" "the authors of Earshot"
  WriteRegStr HKCU "${UNINSTALL}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKCU "${UNINSTALL}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKCU "${UNINSTALL}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKCU "${UNINSTALL}" "NoModify" 1
  WriteRegDWORD HKCU "${UNINSTALL}" "NoRepair" 1
  SectionGetSize 0 $1
  WriteRegDWORD HKCU "${UNINSTALL}" "EstimatedSize" $1
  ; One that ran before runs again; otherwise the last page asks.
  ${If} $0 == 0
    Exec '"${PROGRAM}"'
  ${EndIf}
SectionEnd

Section Uninstall
  !insertmacro QUIT
  !insertmacro PERSIST 'Delete "${PROGRAM}"'
  Delete "$INSTDIR\notices.txt"
  Delete "$INSTDIR\licence.txt"
  Delete "$INSTDIR\uninstall.exe"
  SetOutPath "$TEMP" ; the folder that one is in can't go
  ${For} $1 1 20 ; a program that is just ending holds it; it stays where others put files there
    ClearErrors
    RMDir "$INSTDIR"
    ${IfNot} ${Errors}
      ${ExitFor}
    ${EndIf}
    Sleep 100
  ${Next}
  Delete "$SMPROGRAMS\Earshot.lnk"
  DeleteRegKey HKCU "${UNINSTALL}"

  ; What starts this program at a login, whatever its data folder. A value that
  ; is deleted moves those behind it up.
  StrLen $1 "${PROGRAM}"
  StrCpy $2 0
  ${Do}
    EnumRegValue $3 HKCU "${RUN}" $2
    ${If} $3 == ""
      ${ExitDo}
    ${EndIf}
    ReadRegStr $4 HKCU "${RUN}" $3
    StrCpy $5 $4 1
    ${If} $5 == '"'
      StrCpy $4 $4 "" 1
    ${EndIf}
    StrCpy $4 $4 $1
    ${If} $4 == "${PROGRAM}"
      DeleteRegValue HKCU "${RUN}" $3
      DeleteRegValue HKCU "${APPROVED}" $3
    ${Else}
      IntOp $2 $2 + 1
    ${EndIf}
  ${Loop}

  MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 \
    "Delete your key, links and settings, too? No link that you have made will work again." /SD IDNO IDNO keep
    RMDir /r "$LOCALAPPDATA\Earshot"
    RMDir /r "$APPDATA\Earshot"
  keep:
SectionEnd
