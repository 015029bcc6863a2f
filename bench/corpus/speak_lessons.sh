#!/bin/sh
# Speaks with the synthetic men that Debian packages, and gathers what people recorded for two of its games, as WAV files of
# 8 kHz: what suspicion learns from besides prompts; and two more women's prompts, to judge by. Nothing of it is in the tree.
#
# speak_lessons.sh DIR
#     DIR/spoken    a folder for each voice of flite and festival, about four minutes each
#     DIR/recorded  a folder for each language of klettres-data and ktuberling-data: men, women and children
#     DIR/unseen    asterisk-prompt-es-co and -fr-armelle
# Needs: apt-get install --no-install-recommends sox libsox-fmt-base flite festival festvox-kallpc16k festvox-kdlpc16k \
#     festvox-itapc16k festvox-suopuhe-mv festvox-czech-ph festvox-czech-machac festvox-czech-krb festvox-ru
# and fetches the four packages named above with apt-get download, without installing them.
set -eu
[ $# -eq 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
dir=$1
mkdir -p "$dir/spoken" "$dir/recorded" "$dir/packages"
packages=$(cd "$dir/packages" && pwd)

# Licences are long, everywhere, and free to be read aloud: voice by voice from another place.
text() { # lines to leave out
    cat /usr/share/common-licenses/GPL-3 /usr/share/common-licenses/MPL-2.0 | tr -cs "A-Za-z0-9,.;:'\n" ' ' | sed -n "$1,\$p" |
        tr '\n' ' ' | sed 's/[.;:] /&\n/g' | awk 'length($0) > 30 && length($0) < 400 && ++n <= 40'
}

# A WAV of each line of the text, by a command that writes $wav of the text in $line.
speak() { # name, lines to leave out, command
    out=$dir/spoken/$1
    mkdir -p "$out"
    n=100
    text "$2" >"$dir/text"
    while read -r line; do
        n=$((n + 1))
        wav=$dir/long.wav
        printf '%s\n' "$line" >"$dir/line"
        rm -f "$wav"
        eval "$3" >/dev/null 2>&1 </dev/null || continue
        sox -q -G "$wav" -r 8000 -c 1 -b 16 "$out/$n.wav" norm -4 2>/dev/null || true
    done <"$dir/text"
}

at=20
for voice in kal16 awb rms; do
    speak "flite_$voice" $at "flite -voice $voice -f \"\$dir/line\" -o \"\$wav\""
    at=$((at + 90))
done
for voice in kal_diphone ked_diphone pc_diphone hy_fi_mv_diphone czech_ph czech_machac czech_krb msu_ru_nsh_clunits; do
    speak "festival_$voice" $at "text2wave -eval '(voice_$voice)' \"\$dir/line\" -o \"\$wav\""
    at=$((at + 60))
done

(cd "$packages" && apt-get download klettres-data ktuberling-data asterisk-prompt-es-co \
    asterisk-prompt-fr-armelle && for deb in *.deb; do dpkg -x "$deb" .; done)
for folder in "$packages"/usr/share/klettres/*/ "$packages"/usr/share/ktuberling/sounds/*/; do
    out=$dir/recorded/$(basename "$(dirname "$folder")")_$(basename "$folder")
    mkdir -p "$out"
    find "$folder" -type f \( -name '*.wav' -o -name '*.ogg' \) | sort | while read -r sound; do
        sox -q -G "$sound" -r 8000 -c 1 -b 16 "$out/$(printf %s "${sound#"$folder"}" | tr '/' '_' | sed 's/\.[a-z]*$//').wav" \
            norm -4 2>/dev/null || true
    done
done
for language in es fr; do
    mkdir -p "$dir/unseen/$language"
    find "$packages/usr/share/asterisk/sounds/$language" -name '*.gsm' | while read -r sound; do
        sox -q -G "$sound" -r 8000 -c 1 -b 16 "$dir/unseen/$language/$(basename "$sound" .gsm).wav" norm -4 || true
    done
done
rm -rf "$dir/text" "$dir/line" "$dir/long.wav" "$packages"
