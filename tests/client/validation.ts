// Validates every response against the OpenAPI document: the status and the content type must be documented, and the body
// must match its schema without additional members.

import { readFileSync } from "node:fs";

import { Ajv2020, type AnySchemaObject } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import type { Middleware } from "openapi-fetch";

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, Response> }>>;
  components: { schemas: Record<string, AnySchemaObject> };
}

interface Response {
  content?: Record<string, { schema: AnySchemaObject }>;
}

const document: Document = JSON.parse(readFileSync("openapi.json", "utf8"));

// Clients must ignore unknown members, so the document allows them. But the server's own responses must not have
// undocumented members.
for (const schema of Object.values(document.components.schemas)) {
  schema.unevaluatedProperties ??= false;
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
formats.default(ajv);

/** Number of validated responses. */
export const validated = { responses: 0 };

export const validation: Middleware = {
  async onResponse({ request, response, schemaPath }) {
    const context = `${request.method} ${schemaPath}: ${response.status}`;
    const operation = document.paths[schemaPath]?.[request.method.toLowerCase()];
    const documented = operation?.responses[response.status];
    if (!documented) throw new Error(`${context} is not documented`);

    const contentType = response.headers.get("content-type")?.split(";")[0] ?? "none";
    const content = documented.content?.[contentType];
    if (!content) throw new Error(`${context} with the content type ${contentType} is not documented`);

    const body: unknown = await response.clone().json();
    const isValid = ajv.compile({ ...content.schema, components: document.components });
    if (!isValid(body)) {
      throw new Error(`${context} does not match the document: ${ajv.errorsText(isValid.errors)}: ${JSON.stringify(body)}`);
    }
    validated.responses += 1;
  },
};
