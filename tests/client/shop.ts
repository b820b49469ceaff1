// A client of the shop: `openapi-fetch` over the types that `openapi-typescript` makes of the shop's own document.
// Paths, parameters, bodies, answers and errors are all checked by the compiler; `validation` checks at run time that
// the shop keeps to its document, too, so nothing here is true of the types alone.

import createClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./document.js";
import { validation } from "./validation.js";

export type Shop = Client<paths>;
export type Problem = components["schemas"]["Problem"];

/** Somebody who calls the shop; without a token, anybody. */
export function connect(baseUrl: string, token?: string): Shop {
  const shop: Shop = createClient<paths>({ baseUrl, headers: token ? { Authorization: `Bearer ${token}` } : {} });
  shop.use(validation);
  return shop;
}

/** An answer as `openapi-fetch` hands it out: data where the call went well, a problem where it did not. */
interface Answer<Data> {
  data?: Data;
  error?: Problem;
}

/** What a call that went well was answered with. */
export function done<Data>({ data, error }: Answer<Data>): Data {
  if (error) throw new Error(`${error.code} at ${error.instance}: ${error.detail}`);
  return data as Data;
}

/** The problem that a call was rejected with. */
export function rejected({ data, error }: Answer<unknown>): Problem {
  if (!error) throw new Error(`not rejected, but ${JSON.stringify(data)}`);
  return error;
}
