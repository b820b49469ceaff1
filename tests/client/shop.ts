// A typed client of the shop: `openapi-fetch` with the types that `openapi-typescript` generates from the OpenAPI
// document. The compiler checks paths, parameters, bodies, responses and errors; `validation` checks the actual responses
// at run time.

import createClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./document.js";
import { validation } from "./validation.js";

export type Shop = Client<paths>;
export type Problem = components["schemas"]["Problem"];

/** A client with a token, or an anonymous one. */
export function connect(baseUrl: string, token?: string): Shop {
  const shop: Shop = createClient<paths>({ baseUrl, headers: token ? { Authorization: `Bearer ${token}` } : {} });
  shop.use(validation);
  return shop;
}

/** A result of `openapi-fetch`: data on success, otherwise a problem. */
interface Answer<Data> {
  data?: Data;
  error?: Problem;
}

/** The data of a successful response. */
export function done<Data>({ data, error }: Answer<Data>): Data {
  if (error) throw new Error(`${error.code} at ${error.instance}: ${error.detail}`);
  return data as Data;
}

/** The problem of a rejection. */
export function rejected({ data, error }: Answer<unknown>): Problem {
  if (!error) throw new Error(`not rejected: ${JSON.stringify(data)}`);
  return error;
}
