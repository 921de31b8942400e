// SPDX-License-Identifier: Apache-2.0

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The checkout of the demo's shop: what a basket costs, and a receipt that nobody can make up. */
public final class Checkout {
    record Item(String name, int cents, int count) {}

    private static final Pattern ITEM =
            Pattern.compile("\\{\"name\":\"([a-z]+)\",\"cents\":([0-9]+),\"count\":([0-9]+)\\}");
    private static final BigDecimal TAX = new BigDecimal("0.19");

    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.createContext("/healthz", exchange -> answer(exchange, "{}"));
        server.createContext("/checkout", Checkout::checkout);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.start();
    }

    private static void checkout(HttpExchange exchange) throws IOException {
        String basket = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        BigDecimal total = total(parse(basket));
        answer(exchange, "{\"total\":\"" + total + "\",\"number\":\"" + sealReceipt(basket + total) + "\"}");
    }

    static List<Item> parse(String basket) {
        List<Item> items = new ArrayList<>();
        Matcher matcher = ITEM.matcher(basket);
        while (matcher.find()) {
            items.add(new Item(matcher.group(1), Integer.parseInt(matcher.group(2)), Integer.parseInt(matcher.group(3))));
        }
        return items;
    }

    static BigDecimal total(List<Item> items) {
        BigDecimal sum = BigDecimal.ZERO;
        for (Item item : items) {
            BigDecimal price = BigDecimal.valueOf(item.cents(), 2).multiply(BigDecimal.valueOf(item.count()));
            sum = sum.add(price.multiply(discount(item.count())));
        }
        return sum.add(sum.multiply(TAX)).setScale(2, RoundingMode.HALF_EVEN);
    }

    static BigDecimal discount(int count) {
        return BigDecimal.ONE.subtract(new BigDecimal("0.01").multiply(BigDecimal.valueOf(Math.min(count, 20))));
    }

    /** Hashes many times over, as one does what must be dear to make up. */
    static String sealReceipt(String text) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] seal = text.getBytes(StandardCharsets.UTF_8);
            for (int i = 0; i < 200_000; i++) {
                seal = digest.digest(seal);
            }
            return HexFormat.of().formatHex(seal, 0, 8);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void answer(HttpExchange exchange, String json) throws IOException {
        byte[] body = json.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
