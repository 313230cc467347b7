// The validator badge would ask a server elsewhere, and the address in the query could name any document.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger",
  validatorUrl: null,
  queryConfigEnabled: false,
  deepLinking: true,
});
