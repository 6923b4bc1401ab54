// The page under test: a bell with its popover, and a feed that is always open, as an app would place them. The query
// string says who looks at it.

import {
  KnockFeedProvider,
  KnockProvider,
  NotificationFeed,
  NotificationFeedPopover,
  NotificationIconButton,
} from "@knocklabs/react";
import "@knocklabs/react/dist/index.css";
import { StrictMode, useRef, useState } from "react";
import { createRoot } from "react-dom/client";

const asked = new URLSearchParams(location.search);

function Bell() {
  const [open, setOpen] = useState(false);
  const button = useRef(null);
  return (
    <>
      <NotificationIconButton ref={button} onClick={() => setOpen(!open)} />
      <NotificationFeedPopover buttonRef={button} isVisible={open} onClose={() => setOpen(false)} />
    </>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <KnockProvider
      apiKey={asked.get("key")}
      host={asked.get("host")}
      user={{ id: asked.get("user") }}
      userToken={asked.get("token") ?? undefined}
    >
      <KnockFeedProvider feedId={asked.get("feed")}>
        {asked.get("view") === "feed" ? <NotificationFeed /> : <Bell />}
      </KnockFeedProvider>
    </KnockProvider>
  </StrictMode>,
);
