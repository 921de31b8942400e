// SPDX-License-Identifier: Apache-2.0
// What can be saved of the profile that is shown, and links to it.

import { useState } from "preact/hooks";
import { address } from "../api/client";
import { csv, fileName, folded, gzip, pprof, speedscope } from "../files/export";
import { layOut, png, svg } from "../files/picture";
import { colouring } from "../model/colour";
import { describe } from "../model/transform";
import { title } from "../model/types";
import { defaults, formatState } from "../state/state";
import { copyText } from "../ui/clipboard";
import { amount, dateTime, exact } from "../ui/format";
import { useKeys } from "../ui/keys";
import { MenuButton, type MenuEntry } from "../ui/menu";
import type { ViewProps } from "../views/view";

function save(name: string, content: Blob) {
  const url = URL.createObjectURL(content);
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A question of the server about the project that is chosen, with the times that are shown, as "now" moves on. */
export function question(endpoint: string, { params, profile }: Pick<ViewProps, "params" | "profile">, more: Record<string, string> = {}): string {
  return address(endpoint, { ...params, from: String(profile.fromMs), to: String(profile.toMs), ...more });
}

export function ExportMenu(view: ViewProps) {
  const { profile, state, theme, announce } = view;
  // Files hold stacks from the root on, whatever is on the screen; pictures show what is there.
  const { tree, upright } = profile;
  const [opens, setOpens] = useState(0);
  useKeys([{ key: "s", what: "save: pprof, folded, speedscope, SVG, PNG, CSV, links", group: "Page", run: () => setOpens((n) => n + 1) }]);

  const changed = upright !== profile.whole;
  const group = profile.file ? [] : state.group.split(",").filter(Boolean);
  const name = (extension: string) => fileName({ file: profile.file, type: profile.type, fromMs: profile.fromMs, toMs: profile.toMs, changed: extension === "svg" || extension === "png" ? tree !== profile.whole : changed }, extension);
  const put = async (extension: string, type: string, make: () => BlobPart | Promise<BlobPart>) => {
    try {
      const content = await make();
      save(name(extension), content instanceof Blob ? content : new Blob([content], { type }));
      announce(`saved ${name(extension)}`);
    } catch (e) {
      announce(`not saved: ${(e as Error).message}`);
    }
  };
  const picture = () => {
    const zoom = tree.find(state.zoom);
    const times = profile.fromMs > 0 ? `${dateTime(profile.fromMs)} to ${dateTime(profile.toMs)}` : "";
    const what = [amount(tree.total[zoom]!, profile.unit), `${exact(profile.samples)} samples`, times, state.query, zoom > 0 ? `below ${tree.names(zoom).join(" › ")}` : "", state.t.map(describe).join("; "), state.invert ? "inverted" : ""];
    return layOut(tree, {
      zoom,
      by: tree.baseTotal && state.view === "diff" ? "diff" : colouring(state.colour),
      dark: theme.dark,
      up: state.up === "1",
      title: `${title(profile.type)}${profile.file ? ` – ${profile.file}` : ""}`,
      caption: what.filter(Boolean).join(" · "),
    });
  };
  const copy = async (what: string, text: string) => {
    if (await copyText(text)) return announce(`${what} copied`);
    announce(`${what} could not be copied`);
    window.prompt(`Copy the ${what}:`, text);
  };
  const absolute = (relative: string) => new URL(relative, location.href).href;
  const pinned = () => absolute(formatState({ ...defaults, ...state, from: String(profile.fromMs), to: String(profile.toMs) }) || ".");
  const pprofUrl = () => absolute(question("pprof", view));

  const entries: (MenuEntry | false)[] = [
    { title: changed ? "What is shown, with what is done to the stacks" : "What is shown" },
    { label: "pprof", hint: ".pb.gz", run: () => void put("pb.gz", "application/octet-stream", async () => (await gzip(pprof(upright, { fromMs: profile.fromMs, toMs: profile.toMs, group }))) as BlobPart) },
    { label: "Folded stacks", hint: ".folded.txt", run: () => void put("folded.txt", "text/plain", () => folded(upright)) },
    { label: "speedscope", hint: ".speedscope.json", run: () => void put("speedscope.json", "application/json", () => speedscope(upright, name("json").replace(/\.json$/, ""))) },
    { label: "Table", hint: ".csv", run: () => void put("csv", "text/csv", () => csv(upright, state.level === "line")) },
    { label: "Picture", hint: ".svg", title: "The flame graph as it is zoomed, with numbers as tooltips", run: () => void put("svg", "image/svg+xml", () => svg(picture())) },
    { label: "Picture", hint: ".png", title: "The flame graph as it is zoomed", run: () => void put("png", "image/png", () => png(picture())) },
    "-",
    !profile.file && { title: "All of the selection, from the server" },
    !profile.file && { label: "pprof with labels", hint: ".pb.gz", href: question("pprof", view), download: fileName({ file: "", type: profile.type, fromMs: profile.fromMs, toMs: profile.toMs, changed: false }, "pb.gz") },
    !profile.file && { label: "Folded stacks", hint: ".txt", href: question("folded", view, { group_by: state.group }), download: fileName({ file: "", type: profile.type, fromMs: profile.fromMs, toMs: profile.toMs, changed: false }, "folded.txt") },
    !profile.file && { label: "Copy “go tool pprof” command", title: `go tool pprof -http=: '${pprofUrl()}'`, run: () => copy("command", `go tool pprof -http=: '${pprofUrl()}'`) },
    "-",
    !profile.file && { label: "Copy link to this, at these times", title: "Shows the same later, as long as the server has the data", run: () => copy("link", pinned()) },
  ];
  return (
    <MenuButton label="Save or share" title="Save as pprof, folded, speedscope, SVG, PNG or CSV; links (s)" entries={entries} open={opens}>
      Save ▾
    </MenuButton>
  );
}
