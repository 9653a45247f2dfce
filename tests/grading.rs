//! Rolls under buyers' rules, as `selvedge grade` tells them.

use camera::{FlawKind, LoomSettings};
use serde_json::Value;
use store::{By, Chain, ChainKey, Digest, Name, NewSignature, Role};

use crate::pictures::write_frames;
use crate::program::{Mill, inspecting};
use crate::tree;

/// A mill that has inspected roll R: 1.2 m with two holes and a stain, and a picture that cannot be read
/// where `has_gap`.
fn mill_with_roll(has_gap: bool) -> Option<Mill> {
    let mill = Mill::taught()?;
    let mut settings = LoomSettings::new(21)
        .with_flaw(FlawKind::Hole, 90..130, 500..540, 4.0)
        .with_flaw(FlawKind::Stain, 350..410, 800..860, 4.0)
        .with_flaw(FlawKind::Hole, 5300..5340, 1500..1540, 4.0);
    settings.n_frames = Some(24);
    write_frames(&mill.path().join("roll"), settings);
    if has_gap {
        std::fs::write(mill.path().join("roll/frame99.png"), b"no picture").unwrap();
    }
    let ran = mill.run(&inspecting("R", "roll"));
    assert_eq!(ran.code, 1, "{ran:?}");
    Some(mill)
}

/// The house's example, first quality up to so many points per 100 m.
fn lenient(mill: &Mill, most: u32) {
    let text = std::fs::read_to_string(tree("rules/house-example.toml")).unwrap();
    let text = text
        .replace("per_100_m = 20", &format!("per_100_m = {most}"))
        .replace("per_100_m = 60", "per_100_m = 100000")
        .replace("house-example", "lenient");
    std::fs::write(mill.path().join("lenient.toml"), text).unwrap();
}

fn span(flaw: &Value, key: &str) -> f64 {
    let [from, to]: [f64; 2] = serde_json::from_value(flaw[key].clone()).unwrap();
    to - from
}

#[test]
fn a_roll_is_graded_under_several_rules_at_once_and_the_store_stays_as_it_was() {
    let Some(mill) = mill_with_roll(false) else {
        return;
    };
    lenient(&mill, 100_000);
    let roll = mill.run(&["roll", "R", "--json"]).json(1);
    let before = std::fs::read(mill.path().join("selvedge.db")).unwrap();
    let args = [
        "grade",
        "R",
        "--rules",
        "four-point",
        "--rules",
        "lenient.toml",
    ];
    let told = mill.run(&[&args[..], &["--json"]].concat()).json(1);
    let after = std::fs::read(mill.path().join("selvedge.db")).unwrap();
    assert!(before == after, "grading wrote into the store");
    assert_eq!((&told["run"], &told["roll"]), (&roll["run"], &roll["roll"]));

    // The same by hand from the roll's report: every flaw is shorter than 75 mm; holes cost 4 by
    // the first rules, and a metre has no more than 4.
    let flaws = roll["flaws"].as_array().unwrap();
    assert!(flaws.len() >= 3, "{flaws:?}");
    let four = &told["grades"][0];
    let mut metres = [0, 0];
    for (flaw, counted) in flaws.iter().zip(four["flaws"].as_array().unwrap()) {
        assert_eq!(flaw["id"], counted["id"]);
        assert!(
            span(flaw, "along_mm").max(span(flaw, "across_mm")) < 75.0,
            "{flaw}"
        );
        let points = if flaw["class"] == "hole" { 4 } else { 1 };
        assert_eq!(counted["points"], points, "{flaw} {counted}");
        metres[(flaw["along_mm"][0].as_f64().unwrap() / 1e3) as usize] += points;
    }
    let points = metres.map(|points| points.min(4)).iter().sum::<i32>();
    assert_eq!(four["points"], points);
    let number = |key: &str| four[key].as_f64().unwrap();
    let per_m2 =
        1e8 * f64::from(points) / (number("width_mm") * roll["length_mm"].as_f64().unwrap());
    assert!(
        (number("per_100_m2") - per_m2).abs() < 1e-6 * per_m2,
        "{four}"
    );
    assert!(
        number("width_mm") < roll["width_mm"].as_f64().unwrap(),
        "cloth, not the web"
    );
    assert_eq!(four["quality"], "second");

    let lenient = &told["grades"][1];
    assert_eq!(lenient["rules"]["name"], "lenient");
    assert_eq!(
        (&lenient["quality"], &lenient["withheld"]),
        (&"first".into(), &Value::Null)
    );
    let ran = mill.run(&["grade", "R", "--rules", "lenient.toml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for said in [
        "rules lenient, version 1 (house rules)",
        "quality  first",
        "worst    metre 1, ",
    ] {
        assert!(ran.out.contains(said), "{ran:?}");
    }
}

#[test]
fn a_roll_with_a_gap_is_no_first_quality_and_says_why() {
    let Some(mill) = mill_with_roll(true) else {
        return;
    };
    lenient(&mill, 100_000);
    let roll = mill.run(&["roll", "R", "--json"]).json(1);
    let args = ["grade", "R", "--rules", "lenient.toml", "--json"];
    let told = mill.run(&args).json(1);
    let grade = &told["grades"][0];
    assert_eq!(
        (&grade["quality"], &grade["quality_by_points"]),
        (&Value::Null, &"first".into())
    );
    let m2 = roll["gaps"][0]["area_mm2"].as_f64().unwrap() / 1e6;
    let said = format!("first quality is withheld: 1 gap, {m2:.4} m² not inspected");
    assert_eq!(grade["withheld"], said);
    let ran = mill.run(&args[..4]);
    assert!(
        ran.out.contains("quality  withheld") && ran.out.contains(&said),
        "{ran:?}"
    );

    sign_and_grade(&mill, &args, &told);

    // The latest run is graded, or the one that is named.
    let run = roll["run"].as_str().unwrap().to_owned();
    std::fs::remove_file(mill.path().join("roll/frame99.png")).unwrap();
    assert_eq!(mill.run(&inspecting("R", "roll")).code, 1);
    assert_eq!(mill.run(&args).json(0)["grades"][0]["quality"], "first");
    let named = mill.run(&[&args[..], &["--run", &run]].concat()).json(1);
    assert_eq!(named, told);
}

/// A supervisor signs for the roll, and takes it back.
fn sign_and_grade(mill: &Mill, args: &[&str], before: &Value) {
    let key = ChainKey::open(&mill.path().join("selvedge.key")).unwrap();
    let chain = Chain::new(Name::new("office").unwrap(), key);
    let account = Name::new("eve").unwrap();
    let eve = By {
        chain: &chain,
        account: &account,
        role: Role::Supervisor,
    };
    let mut store = mill.store();
    let rules = before["grades"][0]["rules"]["digest"].as_str().unwrap();
    let signature = NewSignature {
        run: before["run"].as_str().unwrap().parse().unwrap(),
        rules: Name::new("lenient").unwrap(),
        rules_digest: Digest::new(rules).unwrap(),
        why: "the gap was looked at by hand".to_owned(),
    };
    store.sign_first_quality(&eve, &signature).unwrap();
    let told = mill.run(args).json(0);
    let grade = &told["grades"][0];
    assert_eq!(
        (&grade["quality"], &grade["signed"]["by"]),
        (&"first".into(), &"eve".into())
    );
    assert_eq!(grade["withheld"], before["grades"][0]["withheld"]);
    let ran = mill.run(&args[..4]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for said in [
        "quality  first",
        "first quality is withheld",
        "was signed by eve (supervisor) at ",
    ] {
        assert!(ran.out.contains(said), "{said}: {ran:?}");
    }
    // It is of these rules alone.
    lenient(mill, 99_999);
    assert_eq!(mill.run(args).json(1)["grades"][0]["quality"], Value::Null);
    lenient(mill, 100_000);
    store
        .withdraw_signature(&eve, signature.run, &signature.rules_digest, "no")
        .unwrap();
    assert_eq!(&mill.run(args).json(1), before);
}

#[test]
fn what_cannot_be_graded_is_refused() {
    let Some(mill) = mill_with_roll(false) else {
        return;
    };
    let grade = |roll: &str, rules: &str| mill.run(&["grade", roll, "--rules", rules]);
    grade("R", "nine-point").refuses(&["found no rules \"nine-point\"", "four-point-yd"]);
    grade("Q", "four-point").refuses(&["found no roll \"Q\""]);
    let id = "01890000-0000-7000-8000-000000000000";
    mill.run(&["grade", "R", "--rules", "four-point", "--run", id])
        .refuses(&["holds no run", id]);
    mill.run(&["grade", "R", "--rules", "four-point", "--run", "7"])
        .refuses(&["--run", "expected a UUID"]);
    let run = mill.run(&["roll", "R", "--json"]).json(1)["run"].clone();
    mill.run(&[
        "grade",
        "Q",
        "--rules",
        "four-point",
        "--run",
        run.as_str().unwrap(),
    ])
    .refuses(&["of roll \"R\", expected one of roll \"Q\""]);

    let good = std::fs::read_to_string(tree("rules/four-point.toml")).unwrap();
    let misspelt = good.replace("seam = 4", "seem = 4");
    let cases: [(&[u8], &str); 5] = [
        (b"", "missing field"),
        (b"\xff\xfe rules", "cannot be read as text"),
        (&[b' '; 70_000], "found more than 65536 bytes"),
        (b"name = [[[[", "TOML parse error"),
        (misspelt.as_bytes(), "found points.classes.\"seem\""),
    ];
    for (bytes, said) in cases {
        std::fs::write(mill.path().join("bad.toml"), bytes).unwrap();
        grade("R", "bad.toml").refuses(&["rules \"bad.toml\"", said]);
    }
    grade("R", "roll").refuses(&["rules \"roll\"", "cannot be read"]);
}
