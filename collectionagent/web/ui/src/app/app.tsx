// SPDX-License-Identifier: Apache-2.0
// The page: its head, and below it what the URL says.

import { useEffect, useState } from "preact/hooks";
import * as api from "../api/client";
import { Events } from "../pages/events/events";
import { Executables } from "../pages/executables/executables";
import { Hosts } from "../pages/hosts/hosts";
import { Status } from "../pages/status/status";
import { handleKey } from "../ui/keys";
import { Explore } from "./explore";
import { Guard } from "./guard";
import { Header } from "./header";
import { Help } from "./help";
import { useAnnounce } from "./live";
import { OpenButton, OpenNotes, useOpener } from "./openfile";
import { ShareLink } from "./sharelink";
import { useTheme } from "./theme";
import { useUrlState } from "./urlstate";

const others = { hosts: Hosts, executables: Executables, events: Events, status: Status };

export function App() {
  const [theme, toggleTheme] = useTheme();
  const [state, change] = useUrlState();
  const [paused, setPaused] = useState(false);
  const [help, setHelp] = useState(false);
  const [version, setVersion] = useState("");
  const { ref, announce } = useAnnounce();
  const opener = useOpener(state, change, announce);
  api.chooseProject(state.project);
  useEffect(() => {
    document.addEventListener("keydown", handleKey);
    api.status().then(
      (s) => setVersion(s.version),
      () => {}, // the profile shows what is wrong
    );
    return () => document.removeEventListener("keydown", handleKey);
  }, []);
  const Page = state.page === "explore" ? null : others[state.page];
  return (
    <>
      <Header state={state} change={change} theme={theme} paused={paused} onPause={setPaused} onTheme={toggleTheme} onHelp={() => setHelp(true)}>
        <OpenButton opener={opener} />
        <ShareLink state={state} announce={announce} />
      </Header>
      <OpenNotes opener={opener} />
      {Page ? (
        <main class="page-main">
          <Guard name={state.page}>
            <Page state={state} change={change} theme={theme} paused={paused} announce={announce} />
          </Guard>
        </main>
      ) : (
        <Explore state={state} change={change} theme={theme} paused={paused} version={version} onPause={setPaused} announce={announce} />
      )}
      <div ref={ref} class="visually-hidden" role="status" aria-live="polite" />
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  );
}
