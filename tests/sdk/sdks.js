// The official SDKs, unmodified, under one set of names: each call here is one call there. They differ in names and in
// what they return, not in what goes over the wire.

import { createRequire } from "node:module";
import { Knock as Knock043 } from "knock-node-0.4.3";
import * as exceptions from "knock-node-0.4.3/dist/src/common/exceptions.js";
import { Knock as Knock0619 } from "knock-node-0.6.19";
import Knock135 from "knock-node-1.35.0";

const version = (name) => createRequire(import.meta.url)(`./node_modules/${name}/package.json`).version;

export { Knock135, exceptions };

/** The SDK as it was when the first version of the story was written. */
const early = {
  name: `node ${version("knock-node-0.4.3")}`,
  connect(url, key, feed) {
    const knock = new Knock043(key, { host: url });
    return {
      knock,
      identify: (id, properties) => knock.users.identify(id, properties),
      user: (id) => knock.users.get(id),
      trigger: (workflow, { cancellation_key, ...rest }) =>
        knock.notify(workflow, { ...rest, cancellationKey: cancellation_key }),
      cancel: (workflow, cancellationKey, recipients) =>
        knock.workflows.cancel(workflow, cancellationKey, recipients && { recipients }),
      feedEntries: async (user, query) => (await knock.users.getFeed(user, feed, query)).entries,
      async *feedPages(user, page_size) {
        let after;
        do {
          const page = await knock.users.getFeed(user, feed, { page_size, after });
          yield* page.entries;
          after = page.page_info.after;
        } while (after);
      },
    };
  },
  // Its HTTP client takes a path as it is given and refuses one that is not ASCII, so that its callers must encode.
  idInPath: (id) => encodeURIComponent(id),
  nothing: "",
  error: (status) => {
    const classes = {
      400: exceptions.BadRequestException,
      401: exceptions.UnauthorizedException,
      404: exceptions.NotFoundException,
      422: exceptions.UnprocessableEntityException,
    };
    return classes[status] ?? exceptions.GenericServerException;
  },
};

/** The SDK that is generated from the API's description. */
const current = {
  name: `node ${version("knock-node-1.35.0")}`,
  connect(url, key, feed) {
    const knock = new Knock135({ apiKey: key, baseURL: url });
    return {
      knock,
      identify: (id, properties) => knock.users.update(id, properties),
      user: (id) => knock.users.get(id),
      trigger: (workflow, body) => knock.workflows.trigger(workflow, body),
      cancel: (workflow, cancellation_key, recipients) =>
        knock.workflows.cancel(workflow, recipients ? { cancellation_key, recipients } : { cancellation_key }),
      feedEntries: async (user, query) => (await knock.users.feeds.listItems(user, feed, query)).entries,
      feedPages: (user, page_size) => knock.users.feeds.listItems(user, feed, { page_size }),
    };
  },
  idInPath: (id) => id,
  nothing: null,
  error: (status) => {
    const classes = {
      400: Knock135.BadRequestError,
      401: Knock135.AuthenticationError,
      403: Knock135.PermissionDeniedError,
      404: Knock135.NotFoundError,
      422: Knock135.UnprocessableEntityError,
    };
    return classes[status] ?? Knock135.APIError;
  },
};

export const sdks = [early, current];

/** The SDKs of the first API, which differ from each other in what they can do and not in how. */
export const firstSdks = [
  { name: early.name, connect: (url, key) => new Knock043(key, { host: url }) },
  { name: `node ${version("knock-node-0.6.19")}`, connect: (url, key) => new Knock0619(key, { host: url }) },
];
